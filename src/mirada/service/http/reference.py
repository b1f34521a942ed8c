"""The API's reference as a page: the OpenAPI document in plain HTML, without scripts and without anything from elsewhere."""

from __future__ import annotations

from typing import Any

from mirada.pages import environment

_PAGE = environment().from_string("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ info.title }}: API</title>
<link rel="icon" href="static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="static/reference.css">
</head>
<body>
<h1>{{ info.title }}: API</h1>
<p>{{ info.description }} The same as <a href="openapi.json">OpenAPI</a>, for programs. <a href="./">The page</a>.</p>
{% for operation in operations %}
<section>
<h2><code>{{ operation.method }} {{ operation.path }}</code></h2>
<p>{{ operation.description }}</p>
{% if operation.body %}
<p>Body: {{ operation.body | join(", ") }}</p>
{% endif %}
{% if operation.parameters %}
<table>
<tr><th scope="col">parameter</th><th scope="col">in</th><th scope="col">type</th><th scope="col">what</th></tr>
{% for row in operation.parameters %}
<tr><td><code>{{ row.name }}</code></td><td>{{ row.place }}</td><td>{{ row.type }}</td><td>{{ row.what }}</td></tr>
{% endfor %}
</table>
{% endif %}
<table>
<tr><th scope="col">answer</th><th scope="col">what</th><th scope="col">type</th></tr>
{% for row in operation.answers %}
<tr><td>{{ row.status }}</td><td>{{ row.what }}</td><td>{{ row.types | join(", ") }}</td></tr>
{% endfor %}
</table>
</section>
{% endfor %}
</body>
</html>
""")


def render_reference(document: dict[str, Any]) -> str:
    """The page of an OpenAPI document."""
    operations = [
        _operation(path, method, content)
        for path, methods in document["paths"].items()
        for method, content in methods.items()
    ]
    return _PAGE.render(info=document["info"], operations=operations)


def _operation(path: str, method: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "method": method.upper(),
        "path": path,
        "description": content.get("description", content.get("summary", "")),
        "body": list(content.get("requestBody", {}).get("content", {})),
        "parameters": [
            {"name": entry["name"], "place": entry["in"], "type": _type(entry["schema"]), "what": _what(entry)}
            for entry in content.get("parameters", [])
        ],
        "answers": [
            {"status": status, "what": answer.get("description", ""), "types": list(answer.get("content", {}))}
            for status, answer in content["responses"].items()
        ],
    }


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"] if part.get("type") != "null")
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    return str(schema.get("type", ""))


def _what(entry: dict[str, Any]) -> str:
    words = entry.get("description", entry["schema"].get("description", ""))
    default = entry["schema"].get("default")
    return f"{words} Default: {default}.".strip() if default is not None else words
