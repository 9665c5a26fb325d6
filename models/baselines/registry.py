"""The baselines that every training and evaluation compares with, cheapest first."""

from models.baselines.base import Baseline
from models.baselines.cooccurrence import Cooccurrence
from models.baselines.markov import Markov
from models.baselines.popular import Popular
from models.baselines.vsknn import Vsknn

BASELINES: dict[str, type[Baseline]] = {each.name: each for each in (Popular, Markov, Cooccurrence, Vsknn)}
