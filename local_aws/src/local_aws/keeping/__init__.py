"""What outlives `local-aws up --keep`: the state of moto and of the services, on disk.

keeper       which part of the state a call changed, written before the call is answered
parts        one file a part, replaced as a whole; a bucket's also has a journal
moto_state   the parts that are moto's
pickled      how a part is written: locks, keys and ways to live things left out

A call that was answered is on disk: kill -9 loses nothing of it. What a power cut loses is up to
the file system.
"""
