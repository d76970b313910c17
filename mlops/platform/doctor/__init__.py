"""`mlops platform doctor`: what is wrong with an account's MLflow and projects, and what to do.

command       arguments, and run(): the checks side by side, printed in reading order
checks/       one module for each check; its docstring says what it looks at
registry      the checks in reading order
examination   runs them, each bounded in time
report        lines for a person, JSON for a program
finding       what a check says: status, one line, one remedy
patient       what a check is given: the account and the choices of the command line
account_view  the AWS account: clients, parameters, stacks
tracking      MLflow as its clients reach it: address, login, plain requests, the real client
server        names of mlflow.yml's parts, and the commands that remedies make of them
refusal       an error of boto3, as a finding

Nothing here changes anything in the account.
"""
