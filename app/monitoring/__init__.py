"""What people see of a running service, as code: dashboards for Grafana, rules for Prometheus.

`nextup monitoring --out docker` writes the files that the containers mount. It imports nothing of the service: the
names of metrics are all that it knows, and the tests hold them to what the service exposes.
"""
