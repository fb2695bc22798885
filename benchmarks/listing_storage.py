"""An S3 that only lists: empty objects in ten folders, at most 1,000 a page as Amazon's, from nothing but their number.

    python benchmarks/listing_storage.py 1000000

Prints its endpoint. A page takes it less than a millisecond, so that what a listing takes is the time of whoever lists.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit

FOLDERS, MOST = 10, 1_000
ETAG = "d41d8cd98f00b204e9800998ecf8427e"
OBJECT = (
    "<Contents><Key>{}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;{}&quot;</ETag><Size>0</Size>"
    "<StorageClass>STANDARD</StorageClass></Contents>"
)


class _Lister(BaseHTTPRequestHandler):
    """Answers list_objects_v2 of set/ and of its folders; numbers of objects are the tokens."""

    protocol_version = "HTTP/1.1"
    n_objects: int

    def do_GET(self) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        prefix = asked.get("prefix", "")
        if "delimiter" in asked:
            folders = [f"{prefix}{folder}/" for folder in range(FOLDERS)] if prefix == "set/" else []
            self._answer("".join(f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>" for folder in folders), "")
            return
        start, n_in_folder = int(asked.get("continuation-token", 0)), self.n_objects // FOLDERS
        end = min(start + min(MOST, int(asked.get("max-keys", MOST))), n_in_folder)
        objects = "".join(OBJECT.format(quote(f"{prefix}{number:07}.jpg"), ETAG) for number in range(start, end))
        self._answer(objects, str(end) if end < n_in_folder else "")

    def _answer(self, content: str, token: str) -> None:
        more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>many</Name><EncodingType>url</EncodingType><IsTruncated>{'true' if token else 'false'}</IsTruncated>"
            f"{more}{content}</ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    """Serves until it is ended."""
    handler = type("Lister", (_Lister,), {"n_objects": int(sys.argv[1])})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
