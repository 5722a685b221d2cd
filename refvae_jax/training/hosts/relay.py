"""JAX's connections to its coordination service, through the address of process 0.

A JAX client aborts its process, with a stack dump, as soon as the connection to its service breaks.
So it connects to its own process, which passes the bytes on and keeps the client's side open when
the other side breaks: `lifeline` then says in words what happened, and ends the process.
"""

import asyncio
import contextlib
import socket

OPENING = b"relay\n"  # The first line of a connection that is to be passed on.
_RETRY_SECONDS = 0.2
_START_SECONDS = 60.0  # In which process 0 starts the service, once all are there.


def free_port() -> int:
    """A port of this machine that nothing uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Passes bytes on until the reader ends or either side breaks."""
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


async def serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, service_port: int
) -> None:
    """Process 0: passes a connection, after its OPENING, on to the service on this machine."""
    for _ in range(round(_START_SECONDS / _RETRY_SECONDS)):
        with contextlib.suppress(OSError):
            inward, outward = await asyncio.open_connection("127.0.0.1", service_port)
            break
        await asyncio.sleep(_RETRY_SECONDS)
    else:
        return writer.close()
    there = asyncio.create_task(_copy(reader, outward))
    back = asyncio.create_task(_copy(inward, writer))
    await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
    outward.close()
    writer.close()


async def start(host: str, port: int) -> int:
    """The other processes: the port on this machine whose connections reach the service.

    Args:
      host, port: the address of process 0.
    """

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            inward, outward = await asyncio.open_connection(host, port)
            outward.write(OPENING)
            back = asyncio.create_task(_copy(inward, writer))  # Leaves the client's side open.
            await _copy(reader, outward)
            back.cancel()
            outward.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    return server.sockets[0].getsockname()[1]
