"""Where `squeeze serve` shows things: for the command itself, and for the pages that link there.

Dagster's web UI opens no files of a store and serves none, so a report that it links to needs a server. This one is on
the machine of whoever starts it, at this address unless the command is given a `--port`.
"""

from typing import Final

ADDRESS: Final = "127.0.0.1"
PORT: Final = 8017
REPORT_ROUTE: Final = "/report"
REPORT_URL: Final = f"http://{ADDRESS}:{PORT}{REPORT_ROUTE}"
REPORT_FILE: Final = "report.html"
"""In an artifact of the asset `report`."""
