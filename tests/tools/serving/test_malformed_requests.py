"""A server refuses every kind of malformed request."""

from __future__ import annotations

import pathlib

from sagan_tf.serving.client import Client
from tests.serving.model_server import start_server
from tests.serving.small_model import save_small_model
from tools.serving.load_generator import send_malformed_request
from tools.serving.malformed_requests import MALFORMED_REQUESTS
from tools.serving.request_log import RequestLog


def test_every_malformed_request_is_refused(tmp_path: pathlib.Path) -> None:
    save_small_model(tmp_path)
    with start_server(tmp_path) as server:
        for rest in (False, True):
            log = RequestLog()
            with Client(server.rest if rest else server.grpc, rest=rest) as client:
                for kind, make_request in MALFORMED_REQUESTS.items():
                    send_malformed_request(client, log, kind, make_request(2, 4), 20.0)
            assert log.counts == {"bad requests refused": len(MALFORMED_REQUESTS)}, log.messages
