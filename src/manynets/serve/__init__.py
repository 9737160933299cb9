"""An HTTP server for trained models: `manynets serve RUN`.

A request for predictions passes guard.py, and is answered by predicting.py: rows.py reads its body, batching.py puts it together with
others, and served.py predicts them. All other requests are answered by app.py.

guard.py      access: Host, Origin and token; origin.py has the checks that the playground shares
predicting.py the route of the predictions, ahead of FastAPI; extras.py: intervals and contributions, if the query asks for them
rows.py       the body of a request as the columns of a table, or an error that names row and column
batching.py   requests that arrive together become one prediction
served.py     one model: its answers, and its replacement when the file changes
app.py        the other routes; schema.py: what OpenAPI and the form say of a model; metrics.py: the numbers for Prometheus
asgi.py       types of ASGI, and what is sent: JSON, further headers, and no body for HEAD
pages.py      the files of web pages, which the playground serves with it, too
settings.py   the settings of a server
running.py    its start, workers and end; protocol.py: uvicorn's protocol, with an end to slow clients
page.html     the form at /, with form.js and form.css
"""

from __future__ import annotations

from manynets.serve.settings import ServeSettings, require_serve

__all__ = ["ServeSettings", "require_serve"]
