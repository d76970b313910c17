"""The CloudFormation templates, and the command that cuts the repositories which they begin with."""
