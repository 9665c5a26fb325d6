"""Monitoring as code: Grafana dashboards and Prometheus rules.

`nextup monitoring --out docker` writes the files that the containers mount. Metric names are the only coupling to the
service; tests compare them with the metrics that it exposes.
"""
