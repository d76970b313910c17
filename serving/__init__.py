"""The inference image's server: a table of ours is read here, everything else is MLflow's.

    POST /invocations ─▶ server ─┬─ CSV or JSON for a model with a table ─▶ table_request ─▶ predict
                                 └─ any other model, content type, path ─▶ MLflow's scoring server

entry_point     what the image runs: MLflow's container code, starting this server
app             the ASGI application of one serving process
server          which requests are read here, and how they are answered
classification  the classes that a model tells of, and their probabilities
table           the table that a model was trained on, as its MLmodel file tells it
table_request   a request's body -> a frame of that table's columns
cell_reading    one value of a column, from JSON or CSV
model_failure   what the model did wrong: HTTP 500
warnings_once   a log that does not grow with the requests
errors          what is refused

It runs in the model's own environment: the standard library, pandas and MLflow are all there is.
"""
