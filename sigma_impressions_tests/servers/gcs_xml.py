"""The parts of Google Cloud Storage's XML API that Delta Lake writes with, in front of fake-gcs-server.

The emulator reads by that API, but knows writing, and listing from an offset, by the JSON API only. This server,
a process of its own, translates those requests and passes on all others. The condition "only if there is no such
object yet", which commits need, is passed on and is the emulator's to keep.

Started with the emulator's address as the only argument, it prints its port.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

JSON_ROOTS = ("storage", "upload", "download", "batch", "b", "_internal")
HOP_BY_HOP = {"host", "connection", "content-length", "transfer-encoding"}
XML_UPLOAD = "<InitiateMultipartUploadResult><UploadId>{}</UploadId></InitiateMultipartUploadResult>"
XML_COMPLETE = '<CompleteMultipartUploadResult><ETag>"done"</ETag></CompleteMultipartUploadResult>'

Answer = tuple[int, dict[str, str], bytes]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and content are two writes: without this the second waits for the reader to acknowledge the first, 40 ms.
    disable_nagle_algorithm = True
    upstream = ""
    parts: dict[str, dict[int, bytes]] = {}  # noqa: RUF012

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, headers, content = self._answer(body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_GET

    def _answer(self, body: bytes) -> Answer:
        url = urlsplit(self.path)
        bucket, _, key = url.path.lstrip("/").partition("/")
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        if bucket in JSON_ROOTS:
            return self._forward(self.command, self.path, body)
        if not key and "start-after" in query:
            return self._list_after(query["start-after"])
        if key and self.command == "POST" and "uploads" in query:
            upload = uuid.uuid4().hex
            self.parts[upload] = {}
            return 200, {}, XML_UPLOAD.format(upload).encode()
        if key and self.command == "PUT" and "uploadId" in query:
            self.parts[query["uploadId"]][int(query["partNumber"])] = body
            return 200, {"ETag": f'"{query["partNumber"]}"'}, b""
        if key and self.command == "POST" and "uploadId" in query:
            parts = self.parts.pop(query["uploadId"])
            status, headers, _ = self._put(bucket, unquote(key), b"".join(parts[number] for number in sorted(parts)))
            return status, headers, XML_COMPLETE.encode()
        if key and self.command == "PUT":
            return self._put(bucket, unquote(key), body)
        return self._forward(self.command, self.path, body)

    def _put(self, bucket: str, key: str, data: bytes) -> Answer:
        target = f"/upload/storage/v1/b/{bucket}/o?uploadType=multipart&name={quote(key, safe='')}"
        wanted = self.headers.get("x-goog-if-generation-match")
        if wanted is not None:
            target += f"&ifGenerationMatch={wanted}"
        limit = uuid.uuid4().hex
        described = json.dumps({"name": key})
        head = f"--{limit}\r\nContent-Type: application/json\r\n\r\n{described}\r\n--{limit}\r\n"
        content = f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + data + f"\r\n--{limit}--".encode()
        status, _, answer = self._forward("POST", target, content, f"multipart/related; boundary={limit}")
        if status != 200:
            return status, {}, answer
        generation = json.loads(answer)["generation"]
        return 200, {"ETag": f'"{generation}"', "x-goog-generation": generation}, b""

    def _list_after(self, offset: str) -> Answer:
        status, headers, answer = self._forward(self.command, self.path, b"")
        later = re.sub(
            r"<Contents>.*?<Key>(.*?)</Key>.*?</Contents>",
            lambda entry: entry[0] if entry[1] > offset else "",
            answer.decode(),
            flags=re.DOTALL,
        )
        return status, headers, later.encode()

    def _forward(self, method: str, target: str, body: bytes, content_type: str | None = None) -> Answer:
        headers = {name.lower(): value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        if content_type is not None:
            headers["content-type"] = content_type
        connection = HTTPConnection(self.upstream, timeout=60)
        try:
            connection.request(method, target, body=body or None, headers=headers)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP | {"date"}}
            if method == "HEAD":
                # The size of the object, which an answer without content tells by this header alone.
                kept["Content-Length"] = answer.getheader("Content-Length", "0")
            return answer.status, kept, answer.read()
        finally:
            connection.close()


def main() -> None:
    Handler.upstream = sys.argv[1]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
