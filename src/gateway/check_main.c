/* `penstock check`: reads a config as serve would and says everything that is wrong with it; also writes the reference pages. */
#include "gateway/check_main.h"

#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "gateway/certificate.h"
#include "gateway/gateway_parts.h"
#include "observe/metrics.h"

static const char usage[] = "Usage: penstock check FILE\n"
							"       penstock check --reference config|metrics|alerts\n"
							"       penstock check --prometheus-rules [--config FILE]\n"
							"\n"
							"Checks a config file: every fault on a line of its own, as file:line:col: key: what. With "
							"--reference, prints a page of the\n"
							"documentation that comes from the program's tables; with --prometheus-rules, alerting "
							"rules for Prometheus, with the\n"
							"thresholds of the config's alerts.thresholds where FILE is given.\n"
							"\n"
							"Examples:\n"
							"  penstock check examples/quickstart.yaml\n"
							"  penstock check --reference config > docs/config.md\n"
							"  penstock check --prometheus-rules --config penstock.yaml > penstock-rules.yaml\n";

static int write_reference(const char *page)
{
	struct bytes out = { 0 };
	if (strcmp(page, "config") == 0)
		config_write_reference(&out);
	else if (strcmp(page, "metrics") == 0)
		metrics_write_reference(&out);
	else if (strcmp(page, "alerts") == 0)
		alerts_write_reference(&out);
	else
		return fputs(usage, stderr), 2;
	fwrite(out.data, 1, out.len, stdout);
	bytes_fini(&out);
	return 0;
}

/* path: of a config; NULL = the program's thresholds. */
static int write_rules(const char *path)
{
	struct config *config = NULL;
	struct alert_thresholds thresholds;
	struct bytes faults = { 0 };
	struct bytes out = { 0 };
	alerts_default_thresholds(&thresholds);
	enum error error = path ? config_load(path, &config, &faults) : OK;
	if (!error && config)
		error = gateway_load_thresholds(config, &thresholds, &faults);
	if (error) {
		fputs(faults.len ? bytes_text(&faults) : error_text(error), stderr);
	} else {
		alerts_write_rules(&thresholds, &out);
		fwrite(out.data, 1, out.len, stdout);
	}
	bytes_fini(&out);
	bytes_fini(&faults);
	config_unref(&config);
	return error ? 2 : 0;
}

static enum error check_certificate(const char *path, const struct config *config, struct bytes *faults)
{
	struct tls_context *tls;
	bytes_printf(faults, "%s: tls: ", path);
	enum error error = certificate_load(config, &tls, faults);
	bytes_append_byte(faults, '\n');
	tls_context_unref(&tls);
	return error;
}

int check_main(int count, char **arguments)
{
	if (count == 2 && strcmp(arguments[1], "--help") == 0) {
		fputs(usage, stdout);
		return 0;
	}
	if (count == 3 && strcmp(arguments[1], "--reference") == 0)
		return write_reference(arguments[2]);
	if (count == 2 && strcmp(arguments[1], "--prometheus-rules") == 0)
		return write_rules(NULL);
	if (count == 4 && strcmp(arguments[1], "--prometheus-rules") == 0 && strcmp(arguments[2], "--config") == 0)
		return write_rules(arguments[3]);
	if (count != 2) {
		fputs(usage, stderr);
		return 2;
	}
	struct config *config = NULL;
	struct bytes faults = { 0 };
	enum error error = config_load(arguments[1], &config, &faults);
	if (!error)
		error = check_certificate(arguments[1], config, &faults);
	struct alert_thresholds thresholds;
	if (!error) {
		bytes_clear(&faults);
		error = gateway_load_thresholds(config, &thresholds, &faults);
	}
	if (error)
		fputs(faults.len ? bytes_text(&faults) : error_text(error), stderr);
	else
		printf("%s: %zu pools, %zu routes, %zu keys: good\n", arguments[1], config->pool_count, config->route_count,
		       config->key_count);
	bytes_fini(&faults);
	config_unref(&config);
	return error ? 2 : 0;
}
