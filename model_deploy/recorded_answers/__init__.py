"""What a version must answer, by the model itself, in its own environment, while it is built.

    input example, model_deploy/cases/<model>/* ─cases─▶ requests
    requirements.txt ─environment─▶ the model's packages and Python
    isolation ─▶ answering: apart from credentials, network, other folders ─recording─▶ plan

cases        requests: the input example, and the files that a customer adds
environment  the model's own environment, made by uv
recording    the process that answers, watched, and what it says as the plan has it
isolation    a program: runs another one apart from this machine, and tells how far that went
answering    a program: loads the model and answers, as MLflow's scoring server does
"""
