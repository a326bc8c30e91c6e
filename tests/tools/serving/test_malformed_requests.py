"""A server refuses every kind of malformed request."""

from __future__ import annotations

from sagan_tf.serving.connection import Client
from tests.serving.model_server import ModelServer
from tools.serving.load_generator import send_malformed_request
from tools.serving.malformed_requests import MALFORMED_REQUESTS
from tools.serving.request_log import RequestLog


def test_every_malformed_request_is_refused(server: ModelServer, interface: str) -> None:
    log = RequestLog()
    with Client(server.get_address(interface), rest=interface == "rest") as client:
        for kind, make_request in MALFORMED_REQUESTS.items():
            send_malformed_request(client, log, kind, make_request(2, 4), 20.0)
    assert log.counts == {"bad requests refused": len(MALFORMED_REQUESTS)}, log.messages
