"""Names that logs and items files often use for their columns, for suggestions only: no column is read by a guess."""

import re
from collections.abc import Sequence

COMMON_NAMES = {
    "user": (
        "user_id user userid uid customer_id customer customerid customer_no client_id clientid visitor_id "
        "visitorid visitor "
        "user_pseudo_id account_id member_id person_id buyer_id session_id sessionid session reviewerid shopper email"
    ),
    "item": (
        "item_id item itemid iid product_id productid product sku article_id articleid article movie_id movieid movie "
        "asin parent_asin isbn book_id bookid track_id song_id artist_id location_id venue_id content_id aid video_id "
        "variant_id offer_id id"
    ),
    "time": (
        "timestamp time ts datetime date_time event_time eventtime event_timestamp created_at created occurred_at "
        "purchased_at ordered_at order_date purchase_date visited_at viewed_at at date eventdate t_dat unixreviewtime "
        "unix_time utc_time when"
    ),
    "type": "event_type eventtype event_name event action action_type behavior interaction type",
    "event_id": "event_id eventid event_uuid message_id uuid",
    "title": "title name product_name item_name product_title label prod_name track_name artist_name",
    "categories": "categories category genres genre category_name department product_type product_type_name tags",
}


_TIME_ENDING = re.compile(r"(?i:(?:[ _.-]at|date|time|timestamp))$|At$")


def suggest_columns(present: Sequence[str]) -> dict[str, str]:
    """Map roles to the columns that probably have them; roles without a candidate are left out."""
    by_key = {_normalize(name): name for name in reversed(present)}
    suggestions: dict[str, str] = {}
    for role, names in COMMON_NAMES.items():
        candidates = [by_key[key] for name in names.split() if (key := _normalize(name)) in by_key]
        candidates = [name for name in candidates if name not in suggestions.values()]
        if role == "time":
            candidates += [name for name in present if _TIME_ENDING.search(name) and name not in suggestions.values()]
        if candidates:
            suggestions[role] = candidates[0]
    return suggestions


def _normalize(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
