"""gunicorn's threaded worker, hardened against clients that connect and say nothing."""

import errno
import selectors
import socket
import time
from functools import partial

from gunicorn.workers.gthread import TConn, ThreadWorker


class Worker(ThreadWorker):  # type: ignore[misc]
    """Keeps a new connection in the poller until it says something.

    gunicorn 27 hands it to a thread at once, which then waits for up to five seconds: as many silent
    connections as there are threads would keep everybody else waiting. It already has a list of
    connections to be waited for without a thread; this worker puts every new one there.
    """

    def accept(self, listener: socket.socket) -> None:
        """Take a connection and wait for its first bytes without a thread."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED):
                return
            raise
        self.nr_conns += 1
        connection = TConn(self.cfg, client, address, listener.getsockname())
        connection.timeout = time.monotonic() + self.cfg.keepalive
        self.pending_conns.append(connection)
        self.poller.register(
            client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, connection)
        )

    def _cap_keepalive(self, deadline: float) -> None:
        """Stopping, wait for silent connections no longer than for kept-alive ones."""
        super()._cap_keepalive(deadline)
        for connection in self.pending_conns:
            connection.timeout = min(connection.timeout, deadline)
