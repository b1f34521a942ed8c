"""The OpenAPI document is kept: generated requests get no 5xx and no answer that it does not describe."""

from __future__ import annotations

from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mirada.config import ServeConfig
from mirada.service.app import create_app
from mirada.service.http.reference import render_reference
from tests.service.conftest import LiveService

DOCUMENT = create_app(ServeConfig()).openapi()
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


@schemathesis.serializer("application/zip")
def send_zip(ctx: Any, value: Any) -> Any:
    return value if isinstance(value, bytes) else str(value).encode()


schema = schemathesis.openapi.from_dict(DOCUMENT)


@schema.parametrize()
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_generated_requests(case: Any, live_service: LiveService) -> None:
    case.call_and_validate(base_url=live_service.url, checks=CHECKS)


def test_the_document_names_every_route_and_its_refusals() -> None:
    assert set(DOCUMENT["paths"]) == {
        "/v1/predict", "/v1/models", "/v1/models/reload", "/v1/jobs", "/v1/jobs/{job_id}", "/v1/jobs/{job_id}/events",
        "/v1/jobs/{job_id}/results", "/v1/jobs/{job_id}/images/{number}", "/healthz", "/readyz",
    }  # fmt: skip
    predict = DOCUMENT["paths"]["/v1/predict"]["post"]["responses"]
    assert {"200", "401", "413", "415", "422", "429", "503"} <= set(predict)
    assert list(predict["429"]["content"]) == ["application/problem+json"]


def test_the_reference_is_a_page_without_scripts(live_service: LiveService) -> None:
    page = live_service.get("/docs")
    assert (
        page.status_code == 200 and "<script" not in page.text and "http" not in page.text.replace("https://", "http")
    )
    assert all(path.replace("{", "&#123;").split("&")[0] in page.text for path in DOCUMENT["paths"])
    assert render_reference(DOCUMENT) == page.text
    assert httpx.get(f"{live_service.url}/openapi.json").json() == DOCUMENT
