"""The log of a job of a Ray cluster as it grows, also where the connection is lost now and then.

main thread                          a thread of its own, with the event loop that Ray's client needs
  | new_text <---- queue <------------| the log from its beginning, over one connection; again from there after a loss
"""

import asyncio
import contextlib
import queue
import threading
from typing import Any

_RETRY_SECONDS = 5.0


class JobLog:
    """What a job says, each character once.

    Example:
        `log = JobLog(JobSubmissionClient("http://127.0.0.1:8265"), "raysubmit_1"); print(log.new_text())`

    Attributes:
        num_shown: characters that `new_text` has returned.
    """

    def __init__(self, client: Any, job: str) -> None:
        self.num_shown = 0
        self._client, self._job = client, job
        self._texts: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._num_received = 0
        self._is_over = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def new_text(self) -> str:
        """What has come since the last call.

        Returns:
            Text; empty where nothing has come.
        """
        texts = []
        while not self._texts.empty():
            texts.append(self._texts.get())
        text = "".join(texts)
        self.num_shown += len(text)
        return text

    def close(self) -> None:
        """Ask for no more."""
        self._is_over.set()

    def _follow(self) -> None:
        """Until nobody asks any more; a connection that is lost, in whatever way, is made again."""
        while not self._is_over.is_set():
            with contextlib.suppress(Exception):  # who follows the job asks for its state too, and gives up on that
                asyncio.run(self._receive())
            self._is_over.wait(_RETRY_SECONDS)

    async def _receive(self) -> None:
        """One connection: Ray sends the whole log again, of which the beginning is known."""
        num_sent = 0
        async for text in self._client.tail_job_logs(self._job):
            new = text[max(0, self._num_received - num_sent) :]
            num_sent += len(text)
            if new:
                self._num_received += len(new)
                self._texts.put(new)
            if self._is_over.is_set():
                return
