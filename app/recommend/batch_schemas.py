"""Request and response bodies of /recommend/batch."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from app.recommend.schemas import RECOMMENDATION_EXAMPLE, RecommendRequest, RecommendResponse

MAX_REQUESTS = 256


class BatchRequest(BaseModel):
    """Up to 256 requests."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"requests": [{"user_id": "ada", "k": 1}, {"k": 1}]}]}
    )

    # Each entry is validated separately, so that an invalid one does not reject the others.
    requests: Annotated[list[SkipValidation[RecommendRequest]], Field(min_length=1, max_length=MAX_REQUESTS)]


class BatchRecommendation(RecommendResponse):
    """Successful entry of a batch."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": 200, **RECOMMENDATION_EXAMPLE}]})

    status: Literal[200]


class BatchError(BaseModel):
    """Failed entry of a batch."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"status": 422, "detail": "body: user_id or history is required"}]}
    )

    status: int = Field(description="HTTP status that the same single request would have")
    detail: str = Field(description="cause of the error")


class BatchResponse(BaseModel):
    """Responses to a batch."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "responses": [
                        {"status": 200, **RECOMMENDATION_EXAMPLE},
                        {"status": 422, "detail": "k: Input should be a valid integer"},
                    ]
                }
            ]
        }
    )

    responses: list[BatchRecommendation | BatchError] = Field(description="one per request, in the same order")
