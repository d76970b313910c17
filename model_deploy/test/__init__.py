"""TestStaging and TestProd: is the endpoint what was built, and does it answer as the model does?

test            CLI: all checks of the build's plan, results as JSON, then the stage
endpoint_check  each check but three
raw_rows        one of these: untouched rows of the table, as JSON and as CSV
load            the others: many requests, of which none fails and few are slow
endpoint        an endpoint, asked
answers         what it answers, read strictly and compared
"""
