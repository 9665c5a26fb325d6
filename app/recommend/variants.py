"""The part of an experiment in a recommendation: whether the version of the user's variant answered."""

from app.experiment_state.assignment import Assignment
from app.feedback.recommendation_ids import AnsweredVariant
from app.inference import Query, TopItems
from app.rules.follower import PlacementFollower
from app.telemetry.feedback import count_variant_answer


def describe_variant(
    assignment: Assignment, query: Query, top: TopItems, reason: str | None, placements: PlacementFollower
) -> AnsweredVariant:
    """Say whether the model of the variant answered, and count it.

    It did if a model answered, with its version and the settings of its placement. Users without history get popular
    items in every variant, so such answers belong to none.
    """
    is_of_model = top.source == "model" or (reason == "no_known_items" and len(query.history) > 0)
    version, placement = assignment.variant.version, assignment.variant.placement
    is_served = is_of_model and version in (None, top.version)
    is_served = is_served and (placement is None or placements.find(placement) is not None)
    name = assignment.variant.name
    count_variant_answer(assignment.experiment, name, is_served=is_served)
    return AnsweredVariant(assignment.experiment, name, assignment.group, is_served)
