"""Requests that name a placement: its settings complete them."""

from app.errors import InvalidRequest
from app.recommend.fast_schema import RecommendParams
from app.recommend.schemas import RecommendRequest
from app.rules.follower import PlacementFollower


def complete_request(
    request: RecommendParams, placements: PlacementFollower, replacement: str | None = None
) -> RecommendParams:
    """Add the settings of the placement, if the request names one; InvalidRequest if there is none of this name.

    Those of `replacement`, the placement of a variant, are used instead if they exist.
    """
    if request.placement is None:
        return request
    assert isinstance(request, RecommendRequest), "the hot path forwards requests with a placement"
    settings = None if replacement is None else placements.find(replacement)
    settings = settings or placements.find(request.placement)
    if settings is None:
        raise InvalidRequest.for_field(
            "placement", f"there is no placement {request.placement!r}; PUT /placements/{{name}} stores one"
        )
    return settings.complete(request)
