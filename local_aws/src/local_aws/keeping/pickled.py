"""State as bytes and back: pickle, without what belongs to a process."""

from __future__ import annotations

import io
import pickle
import threading
from collections import defaultdict
from types import FunctionType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from moto.backends import get_backend
from moto.core.base_backend import BaseBackend

_LOCKS = {type(threading.Lock()): threading.Lock, type(threading.RLock()): threading.RLock}
_ATTEMPTS = 50


def dumps(state: Any) -> bytes:
    """Bytes for `loads`; others may change the state meanwhile, then it is begun again."""
    for attempt in range(_ATTEMPTS):
        written = io.BytesIO()
        try:
            _Pickler(written, protocol=5).dump(state)
        except RuntimeError:  # a dictionary changed its size
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            break
    return written.getvalue()


def loads(written: bytes) -> Any:
    """The state. Whatever goes wrong is raised as it comes: the bytes are of another version."""
    return pickle.loads(written)  # noqa: S301  # a file of ours, which only its owner can write


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if type(value) in _LOCKS:
            return _LOCKS[type(value)], ()
        if isinstance(value, BaseBackend):
            service = type(value).__module__.split(".")[1]  # moto.<service>.models
            return _backend, (service, value.account_id, value.region_name)
        if isinstance(value, defaultdict) and not _is_plain(value):
            return dict, (dict(value),)  # whoever takes it back has one to fill
        if isinstance(value, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            der = value.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
            return _private_key, (der,)
        return NotImplemented


def _is_plain(values: defaultdict[Any, Any]) -> bool:
    return type(values) is defaultdict and not isinstance(values.default_factory, FunctionType)


def _private_key(der: bytes) -> Any:
    return load_der_private_key(der, None)


def _backend(service: str, account: str, region: str) -> Any:
    return get_backend(service)[account][region]
