"""Git repositories, to which people really push: CodeCommit's, and those behind a Git connection.

service.py                what the gateway gets: all operations, and two places on its HTTP port
smart_http.py             `git clone` and `git push` by git's own http-backend
push_events.py            what became of branches and tags, as events
codecommit.py             CodeCommit's repositories, by name: CreateRepository, GetBranch, tags
connections.py            CodeConnections
connection_repositories.py  what is behind a connection, made by its first push
bare_repository.py        one bare repository: its refs, and who may change them when
git.py                    git as a program, in an environment of its own
"""
