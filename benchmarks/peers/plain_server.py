"""A server written in five minutes: FastAPI, one function call per request, the same model, no batches and no limits.

python benchmarks/peers/plain_server.py MODEL PORT
"""

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool

from headstart.artifact.predictor import Predictor

app = FastAPI()
predictor = Predictor.load(sys.argv[1])


@app.post("/predict")
async def predict(request: Request) -> dict[str, Any]:
    """The answer for the image in the body."""
    data = await request.body()
    (prediction,) = await run_in_threadpool(predictor.predict_bytes, [("", data)])
    return prediction.as_json()


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
