"""Where a request's images are: in fields of a form, or the body itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mirada.service.problems import Refusal

_RAW = ("image/", "application/octet-stream")


def media_type(request: Request) -> str:
    """The request's content type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


@asynccontextmanager
async def open_form(request: Request, files: int) -> AsyncIterator[FormData]:
    """The fields of a form; its temporary files go at the end.

    Args:
        request: its body is multipart/form-data.
        files: how many there may be.

    Raises:
        Refusal: 400 where it can't be read, 413 where there are more files.
    """
    try:
        form = await request.form(max_files=files, max_fields=32, max_part_size=16_384)
    except ClientDisconnect as error:
        raise Refusal(400, "The request ended before its body did.") from error
    except HTTPException as error:
        if "Too many files" in str(error.detail):
            raise Refusal(413, f"The request may have {files} files: send fewer.") from error
        raise Refusal(400, "The form can't be read: send multipart/form-data as curl -F does.") from error
    except (UnicodeDecodeError, LookupError) as error:
        raise Refusal(400, "The form can't be read: send its headers in UTF-8.") from error
    except OSError as error:
        raise Refusal(503, "There is no room for the upload now: try again later.", 30) from error
    try:
        yield form
    finally:
        await form.close()


async def read_image(request: Request) -> bytes:
    """The one image of a request: its field `image`, or its body.

    Raises:
        Refusal: 400, 413, 415 or 422.
    """
    kind = media_type(request)
    if kind == "multipart/form-data":
        async with open_form(request, 1) as form:
            uploads = [value for value in form.getlist("image") if isinstance(value, UploadFile)]
            if not uploads:
                raise Refusal(422, "The form has no file in its field `image`.")
            return await uploads[0].read()
    if not kind.startswith(_RAW):
        raise Refusal(415, "Send the image as a form's field `image`, or as the body with Content-Type: image/jpeg.")
    return await read_body(request)


async def read_body(request: Request) -> bytes:
    """The whole body.

    Raises:
        Refusal: 400, the client went away.
    """
    try:
        return await request.body()
    except ClientDisconnect as error:
        raise Refusal(400, "The request ended before its body did.") from error
