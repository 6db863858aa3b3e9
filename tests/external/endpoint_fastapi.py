"""A program of one's own, on FastAPI: it takes a picture, or JSON, and says what it got."""

import hashlib
import sys
from collections import Counter

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

app = FastAPI()
seen: Counter[str] = Counter()
"""How often each picture came."""


@app.get("/health")
def health() -> dict[str, bool]:
    return {"ready": True}


@app.post("/predictions/{model}")
async def predict(model: str, request: Request) -> dict[str, str]:
    body = await request.body()
    digest = hashlib.sha256(body).hexdigest()
    seen[digest] += 1
    return {"model": model, "type": request.headers["content-type"], "sha256": digest}


@app.get("/seen")
def seen_so_far() -> dict[str, int]:
    return seen


@app.post("/old/{model}")
def moved(model: str) -> RedirectResponse:
    return RedirectResponse(f"/predictions/{model}", status_code=301)


@app.post("/sums")
def sums(numbers: list[int]) -> dict[str, int]:
    return {"sum": sum(numbers)}


@app.post("/queue", status_code=202)
async def queue(request: Request) -> Response:
    return Response(await request.body(), status_code=202)


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
