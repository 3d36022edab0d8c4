#include "replay/detector.h"

#include <math.h>

/* GuideLLM's thresholds: a slope counts when it is twice its standard error, and waits below 2.5 s are nobody's crisis. */
#define SIGNIFICANCE 2.0
#define TTFT_S_MIN 2.5
/* From the window's start to its end the fitted line must have grown by this: a slope can be significant and small. */
#define GROWTH_MIN 1.5
#define IN_FLIGHT_MIN 4
#define FAILED_SHARE 0.5
#define ENDED_MIN 20

struct line {
	double slope;
	double error; /* standard error of the slope */
	double begin; /* fitted, at the first and the last second */
	double end;
};

void detector_add(struct detector *detector, const struct detector_second *second)
{
	detector->seconds[detector->count++ % DETECTOR_WINDOW] = *second;
}

/* The window's i-th second, oldest first. */
static const struct detector_second *second_at(const struct detector *detector, uint64_t window, uint64_t i)
{
	return &detector->seconds[(detector->count - window + i) % DETECTOR_WINDOW];
}

static double value_of(const struct detector_second *second, bool is_ttft)
{
	return is_ttft ? second->ttft_s : second->in_flight;
}

/* Least squares over the window. */
static struct line fit(const struct detector *detector, uint64_t window, bool is_ttft)
{
	const double n = (double)window;
	double sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0, residual = 0;
	for (uint64_t i = 0; i < window; i++) {
		const double x = (double)i;
		const double y = value_of(second_at(detector, window, i), is_ttft);
		sum_x += x;
		sum_y += y;
		sum_xx += x * x;
		sum_xy += x * y;
	}
	struct line line;
	const double spread = sum_xx - sum_x * sum_x / n;
	line.slope = (sum_xy - sum_x * sum_y / n) / spread;
	line.begin = (sum_y - line.slope * sum_x) / n;
	line.end = line.begin + line.slope * (n - 1);
	for (uint64_t i = 0; i < window; i++) {
		const double off = value_of(second_at(detector, window, i), is_ttft) - (line.begin + line.slope * (double)i);
		residual += off * off;
	}
	line.error = sqrt(residual / (n - 2) / spread);
	return line;
}

static bool grows(const struct line *line)
{
	return line->slope > SIGNIFICANCE * line->error && line->end > GROWTH_MIN * fmax(line->begin, 0);
}

static bool mostly_fails(const struct detector *detector, struct bytes *why)
{
	uint64_t ended = 0;
	uint64_t failed = 0;
	for (uint64_t i = 0; i < DETECTOR_SECONDS_MIN; i++) {
		const struct detector_second *second = second_at(detector, DETECTOR_SECONDS_MIN, i);
		ended += second->ended;
		failed += second->failed;
	}
	if (ended < ENDED_MIN || (double)failed < FAILED_SHARE * (double)ended)
		return false;
	bytes_printf(why, "%llu of the last %llu requests failed", (unsigned long long)failed, (unsigned long long)ended);
	return true;
}

bool detector_is_hopeless(const struct detector *detector, struct bytes *why)
{
	if (detector->count < DETECTOR_SECONDS_MIN)
		return false;
	if (mostly_fails(detector, why))
		return true;
	const uint64_t window = detector->count < DETECTOR_WINDOW ? detector->count : DETECTOR_WINDOW;
	const struct line load = fit(detector, window, false);
	const struct line ttft = fit(detector, window, true);
	if (!grows(&load) || !grows(&ttft) || load.end < IN_FLIGHT_MIN || ttft.end < TTFT_S_MIN)
		return false;
	bytes_printf(why,
	             "over %llu s the requests in flight grew by %.1f a second to %.0f, and the time to the first token by "
	             "%.0f ms a second to %.1f s: more comes in than is served",
	             (unsigned long long)window, load.slope, load.end, ttft.slope * 1e3, ttft.end);
	return true;
}
