"""A program of one's own, on FastAPI: it takes a picture, or JSON, and says what it got."""

import hashlib
import sys

import uvicorn
from fastapi import FastAPI, Request, Response

app = FastAPI()


@app.get("/health")
def health() -> dict[str, bool]:
    return {"ready": True}


@app.post("/pictures/{model}")
async def picture(model: str, request: Request) -> dict[str, str]:
    body = await request.body()
    return {
        "model": model,
        "type": request.headers["content-type"],
        "sha256": hashlib.sha256(body).hexdigest(),
    }


@app.post("/sums")
def sums(numbers: list[int]) -> dict[str, int]:
    return {"sum": sum(numbers)}


@app.post("/queue", status_code=202)
async def queue(request: Request) -> Response:
    return Response(await request.body(), status_code=202)


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
