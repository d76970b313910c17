"""MLflow's model registry: read at flat cost, written by one claimant at a time.

connection    MLflow's client: opened, asked, its silence and its errors told
versions      models and versions found by themselves, without listing all
evidence      why a version moved, as tags of it that nothing overwrites
moves         which moves there are, decided and verified without MLflow
lease         one writer a model and endpoint, on whatever database MLflow has
stage_move    the move itself: lease, read, decide, write, read back
"""
