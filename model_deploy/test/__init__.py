"""TestStaging and TestProd: is the endpoint what was built, and does it answer as the model does?

test            CLI: all checks, results as JSON, then the stage
endpoint_check  each check but one
raw_rows        that one: untouched rows of the table, as JSON and as CSV
endpoint        an endpoint, asked
"""
