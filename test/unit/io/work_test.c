/* Work leaves the loop's thread and its end comes back to it. */
#include "io/work.h"

#include "turns.h"

#include <pthread.h>

#define JOBS 50

struct job {
	struct loop *loop;
	pthread_t loop_thread;
	int worked;
	int done;
	struct job *chained;
};

static void work(void *argument)
{
	struct job *job = argument;
	ck_assert(!pthread_equal(pthread_self(), job->loop_thread));
	ck_assert_int_eq(job->done, 0);
	job->worked++;
}

static void done(void *argument)
{
	struct job *job = argument;
	ck_assert(pthread_equal(pthread_self(), job->loop_thread));
	ck_assert_int_eq(job->worked, 1);
	job->done++;
	if (job->chained)
		ck_error_is(work_start(job->loop, work, done, job->chained), OK);
}

static int count_done(const struct job *jobs, int count)
{
	int sum = 0;
	for (int i = 0; i < count; i++)
		sum += jobs[i].done;
	return sum;
}

START_TEST(many_jobs)
{
	struct loop *loop = new_loop();
	struct job jobs[JOBS];
	for (int i = 0; i < JOBS; i++) {
		jobs[i] = (struct job){ .loop = loop, .loop_thread = pthread_self() };
		ck_error_is(work_start(loop, work, done, &jobs[i]), OK);
	}
	run_until(loop, count_done(jobs, JOBS) == JOBS);
	loop_free(&loop);
}
END_TEST

START_TEST(a_job_that_starts_another)
{
	struct loop *loop = new_loop();
	struct job jobs[2] = { { .loop = loop, .loop_thread = pthread_self() }, { 0 } };
	jobs[1] = jobs[0];
	jobs[0].chained = &jobs[1];
	ck_error_is(work_start(loop, work, done, &jobs[0]), OK);
	run_until(loop, jobs[1].done == 1);
	loop_free(&loop);
}
END_TEST

/* It can't be cancelled: the loop waits for it, and its end is still told. */
START_TEST(a_loop_that_ends_waits_for_its_work)
{
	struct loop *loop = new_loop();
	struct job job = { .loop = loop, .loop_thread = pthread_self() };
	ck_error_is(work_start(loop, work, done, &job), OK);
	loop_free(&loop);
	ck_assert_int_eq(job.done, 1);
}
END_TEST

UNIT_MAIN("io/work", many_jobs, a_job_that_starts_another, a_loop_that_ends_waits_for_its_work)
