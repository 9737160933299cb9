"""An HTTP server for trained models: `manynets serve RUN`.

rows.py       a request's body as the columns of a table, or an error that names row and column
served.py     one model: its answers, and its replacement when the file changes
batching.py   requests that arrive together become one prediction
predicting.py the route of the predictions, ahead of FastAPI
guard.py      who may ask: Host, Origin and token; origin.py has the checks that the playground shares
metrics.py    what Prometheus reads
schema.py     what OpenAPI says of a model
app.py        the other routes
asgi.py       types of ASGI, and an answer of JSON
running.py    settings, workers, start and end
page.html     the form at /, with form.js and form.css
"""

from __future__ import annotations

from manynets.serve.settings import ServeSettings, require_serve

__all__ = ["ServeSettings", "require_serve"]
