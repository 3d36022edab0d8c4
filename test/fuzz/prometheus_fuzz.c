/* A page that says it is Prometheus' text: every sample lies inside it, and sums and quantiles come to an end. */
#include "watch/prometheus.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct prometheus_page page;
	struct prometheus_page none = { 0 };
	double count;
	char *text = exact_copy(data, size);
	MUST(prometheus_read((struct span){ text, size }, &page) == OK);
	free(text);
	for (size_t i = 0; i < page.count; i++) {
		MUST(*page.samples[i].name != '\0');
		for (unsigned j = 0; j < page.samples[i].label_count; j++)
			MUST(strlen(page.samples[i].labels[j].name) + strlen(page.samples[i].labels[j].value) <= size);
	}
	(void)prometheus_sum(&page, "a", "b", "c");
	(void)prometheus_quantile(&page, &none, "h", NULL, NULL, 0.95, &count);
	prometheus_fini(&page);
	return 0;
}
