{{/* Names and labels shared by several objects. */}}

{{- define "nextup.name" -}}
{{- if contains "nextup" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-nextup" .Release.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "nextup.selector" -}}
app.kubernetes.io/name: nextup
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "nextup.labels" -}}
{{ include "nextup.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "nextup.secret" -}}
{{ .Values.secret.existing | default (include "nextup.name" .) }}
{{- end }}
