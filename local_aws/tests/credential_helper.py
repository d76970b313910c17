"""What `aws codecommit credential-helper get` prints, in a thirtieth of its time.

Run by git as `python -I -S`, so it signs with the standard library; one test holds it against the
AWS CLI's own.
"""

import hashlib
import hmac
import os
import sys
import time

asked = dict(line.strip().split("=", 1) for line in sys.stdin if "=" in line)
stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
scope = (stamp[:8], os.environ["AWS_REGION"], "codecommit", "aws4_request")
host = asked["host"].partition(":")[0]
canonical = f"GIT\n/{asked['path']}\n\nhost:{host}\n\nhost\n"
digest = hashlib.sha256(canonical.encode()).hexdigest()
key = f"AWS4{os.environ['AWS_SECRET_ACCESS_KEY']}".encode()
for part in (*scope, f"AWS4-HMAC-SHA256\n{stamp}\n{'/'.join(scope)}\n{digest}"):
    key = hmac.new(key, part.encode(), hashlib.sha256).digest()
token = os.environ.get("AWS_SESSION_TOKEN", "")
sys.stdout.write(f"username={os.environ['AWS_ACCESS_KEY_ID']}{'%' + token if token else ''}\n")
sys.stdout.write(f"password={stamp}Z{key.hex()}\n")
