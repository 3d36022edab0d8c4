#include "top/snapshot.h"

#include <math.h>

#include "base/json.h"

#define DEPTH_MAX 8

static const char *text_of(struct snapshot *snapshot, const struct json *json, uint32_t node)
{
	struct span text = { 0 };
	if (node == JSON_NONE || json_string(json, node, &snapshot->arena, &text) != OK)
		return "";
	const char *copy = arena_copy_text(&snapshot->arena, text);
	return copy ? copy : "";
}

static double number_of(const struct json *json, uint32_t node, double otherwise)
{
	double value;
	return node != JSON_NONE && json_double(json, node, &value) == OK ? value : otherwise;
}

static const char *labels_of(struct snapshot *snapshot, const struct json *json, uint32_t labels)
{
	struct bytes text = { 0 };
	for (uint32_t key = labels == JSON_NONE ? JSON_NONE : json_first(json, labels); key != JSON_NONE;) {
		uint32_t value = json_next(json, labels, key);
		bytes_append_text(&text, text.len ? "/" : "");
		bytes_append_text(&text, text_of(snapshot, json, value));
		key = json_next(json, labels, value);
	}
	const char *copy = arena_copy_text(&snapshot->arena, bytes_span(&text));
	bytes_fini(&text);
	return copy ? copy : "";
}

static void read_alerts(struct snapshot *snapshot, const struct json *json)
{
	uint32_t list = json_get(json, JSON_ROOT, "alerts");
	if (list == JSON_NONE || json_type(json, list) != JSON_ARRAY)
		return;
	for (uint32_t node = json_first(json, list); node != JSON_NONE && snapshot->alert_count < SNAPSHOT_ALERTS_MAX;
	     node = json_next(json, list, node)) {
		struct shown_alert *alert = &snapshot->alerts[snapshot->alert_count++];
		*alert = (struct shown_alert){
			.name = text_of(snapshot, json, json_get(json, node, "name")),
			.severity = text_of(snapshot, json, json_get(json, node, "severity")),
			.state = text_of(snapshot, json, json_get(json, node, "state")),
			.on = labels_of(snapshot, json, json_get(json, node, "labels")),
			.value = number_of(json, json_get(json, node, "value"), NAN),
			.threshold = number_of(json, json_get(json, node, "threshold"), 0),
		};
	}
}

static void read_replicas(struct snapshot *snapshot, const struct json *json)
{
	uint32_t replicas = json_get(json, JSON_ROOT, "replicas");
	if (replicas == JSON_NONE || json_type(json, replicas) != JSON_OBJECT)
		return;
	for (uint32_t key = json_first(json, replicas);
	     key != JSON_NONE && snapshot->replica_count < SNAPSHOT_REPLICAS_MAX;) {
		uint32_t node = json_next(json, replicas, key);
		snapshot->replicas[snapshot->replica_count++] = (struct shown_replica){
			.name = text_of(snapshot, json, key),
			.state = text_of(snapshot, json, json_get(json, node, "state")),
			.percent = (int)number_of(json, json_get(json, node, "percent"), 0),
			.restarts = (int)number_of(json, json_get(json, node, "restarts"), 0),
		};
		key = json_next(json, replicas, node);
	}
}

static void read_json(struct snapshot *snapshot, struct span text, void (*read)(struct snapshot *, const struct json *))
{
	struct json json = { 0 };
	if (text.len && json_parse(&json, text.at, text.len, DEPTH_MAX, NULL) == OK &&
	    json_type(&json, JSON_ROOT) == JSON_OBJECT)
		read(snapshot, &json);
	json_fini(&json);
}

enum error snapshot_read(struct span now, struct span before, double seconds, struct span alerts, struct span readiness,
                         struct snapshot *out)
{
	*out = (struct snapshot){ .seconds = before.len ? seconds : 0 };
	enum error error = prometheus_read(now, &out->now);
	if (!error)
		error = prometheus_read(before, &out->before);
	if (error) {
		snapshot_fini(out);
		return error;
	}
	read_json(out, alerts, read_alerts);
	read_json(out, readiness, read_replicas);
	return OK;
}

void snapshot_fini(struct snapshot *snapshot)
{
	prometheus_fini(&snapshot->now);
	prometheus_fini(&snapshot->before);
	arena_fini(&snapshot->arena);
}

double snapshot_rate(const struct snapshot *snapshot, const char *name, const char *label, const char *value)
{
	if (snapshot->seconds <= 0)
		return 0;
	double grown =
		prometheus_sum(&snapshot->now, name, label, value) - prometheus_sum(&snapshot->before, name, label, value);
	return fmax(grown, 0) / snapshot->seconds;
}
