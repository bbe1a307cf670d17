"""What the Python programs of this folder have in common; lines and steps are those of steps.mjs."""

import asyncio
import json
import pathlib
import sys
import urllib.parse

# A user tries a call again that often.
TRIES = 3
ORDER = json.loads(sys.argv[1])


def emit(**line):
    print(json.dumps(line), flush=True)


def reason(error):
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(reason(inner) for inner in error.exceptions)
    return f"{type(error).__name__}: {error}"


def text(result):
    if result.is_error:
        raise RuntimeError(f"the tool failed: {result.content}")
    return " ".join(getattr(part, "text", part.type) for part in result.content)


class Redirects:
    """Listens for the browser's redirects on the port of the order."""

    def __init__(self):
        self.come = asyncio.Queue()

    async def listen(self):
        await asyncio.start_server(self.answer, "127.0.0.1", ORDER["port"])

    async def answer(self, reader, writer):
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 24\r\nconnection: close\r\n\r\nYou may close this page.")
        await writer.drain()
        writer.close()
        target = urllib.parse.urlsplit(request.split(" ")[1])
        if target.path == "/callback":
            await self.come.put(dict(urllib.parse.parse_qsl(target.query)))


class Steps:
    """Takes all steps. `client` has `connect`, `tools` (a count) and `call` (its text)."""

    def __init__(self, client):
        self.client = client

    async def connect(self, step):
        await self.client.connect()
        return {}

    async def tools(self, step):
        return {"count": await self.client.tools()}

    async def call(self, step):
        """As a user does when trying again."""
        failures = 0
        while True:
            try:
                return {"failures": failures, "text": await self.client.call(step["name"], step["arguments"])}
            except Exception as error:
                failures += 1
                if failures == TRIES:
                    raise
                emit(event="call_failed", message=reason(error))

    async def until(self, step):
        """Until there is a file of this name."""
        emit(event="idle")
        while not pathlib.Path(step["file"]).exists():
            await asyncio.sleep(0.1)
        return {}

    async def take_all(self):
        emit(event="client", name=self.client.name, version=self.client.version)
        for step in [{"do": "connect"}, *ORDER["steps"]]:
            try:
                emit(step=step["do"], ok=True, **(await getattr(self, step["do"])(step)))
            except Exception as error:
                emit(step=step["do"], ok=False, message=reason(error))
        emit(step="end", ok=True)
