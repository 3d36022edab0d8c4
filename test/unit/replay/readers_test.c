/* The trace formats: columns by name, what is dropped and counted, grids, prompt parts. */
#include "workloads.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

START_TEST(reads_azure)
{
	struct workload *workload = read_text("TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
	                                      "2023-11-16 18:17:05.0000000,300,20\r\n"
	                                      "2023-11-16 18:17:03.5000000,100,10\r\n"
	                                      "yesterday,1,1\r\n"
	                                      "2023-11-16 18:17:03.5000000,many,10\r\n"
	                                      "2023-11-16 18:17:03.6000000,0,0\r\n"
	                                      "2023-11-16 18:17:03.7000000,5,0\r\n"
	                                      "2023-11-16\r\n",
	                                      NULL);
	ck_assert_str_eq(workload->format, "azure");
	ck_assert_uint_eq(workload->count, 3);
	ck_assert(workload->was_unsorted);
	ck_assert_uint_eq(workload->rows[0].prompt_tokens, 100);
	ck_assert_uint_eq(workload->rows[1].output_tokens, 1); /* zero on one side */
	ck_assert_uint_eq(workload->raised, 1);
	ck_assert_int_eq(workload->rows[2].at_ns - workload->rows[0].at_ns, 1500 * NS_PER_MS);
	ck_assert_uint_eq(workload->dropped[DROP_NO_TIME], 1);
	ck_assert_uint_eq(workload->dropped[DROP_BAD_TOKENS], 1);
	ck_assert_uint_eq(workload->dropped[DROP_NO_TOKENS], 1);
	ck_assert_uint_eq(workload->dropped[DROP_SYNTAX], 1);
	check_counts(workload);
	workload_free(&workload);
}
END_TEST

START_TEST(reads_burstgpt_in_any_order)
{
	struct workload *workload = read_text("Model,\"Response tokens\",Session ID,Timestamp,Request tokens,Log Type\n"
	                                      "ChatGPT,18,s-1,5.5,472,Conversation log\n"
	                                      "GPT-4,30,s-2,2,100,API log\n"
	                                      "GPT-4,7,s-1,9,480,Conversation log\n"
	                                      "GPT-4,0,,10,0,API log\n",
	                                      NULL);
	ck_assert_str_eq(workload->format, "burstgpt");
	ck_assert_uint_eq(workload->count, 3);
	ck_assert_uint_eq(workload->rows[0].prompt_tokens, 100);
	ck_assert_uint_eq(workload->rows[1].prompt_tokens, 472);
	ck_assert_uint_eq(workload->rows[1].session, workload->rows[2].session);
	ck_assert(workload->rows[0].session != workload->rows[1].session);
	check_counts(workload);
	workload_free(&workload);
	workload = read_text("Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,x,1,2,3,y\n", NULL);
	ck_assert_uint_eq(workload->count, 1);
	ck_assert_uint_eq(workload->rows[0].session, 0);
	workload_free(&workload);
}
END_TEST

START_TEST(spreads_mooncakes_grid)
{
	struct bytes text = { 0 };
	for (int cell = 0; cell < 4; cell++) {
		for (int i = 0; i < 10; i++)
			bytes_printf(
				&text, "{\"timestamp\": %d, \"input_length\": 1100, \"output_length\": 5, \"hash_ids\": [0, %d, %d]}\n",
				cell * 3000, cell * 10 + i, 1000 + i);
	}
	bytes_append_literal(&text, "not json\n[1]\n{\"timestamp\": 1}\n");
	struct workload *workload = read_text(bytes_text(&text), NULL);
	ck_assert_str_eq(workload->format, "mooncake");
	ck_assert_uint_eq(workload->count, 40);
	ck_assert(workload->notes.len > 0);
	for (size_t i = 1; i < workload->count; i++) {
		/* In order, each inside its cell, and no two of a cell at once. */
		ck_assert_int_gt(workload->rows[i].at_ns, workload->rows[i - 1].at_ns);
		ck_assert_int_eq(workload->rows[i].at_ns / (3 * NS_PER_S), (int64_t)i / 10);
	}
	const struct workload_row *row = &workload->rows[0];
	ck_assert_uint_eq(row->pieces, 3);
	ck_assert_uint_eq(workload->piece_list[row->first_piece].tokens, 512);
	ck_assert_uint_eq(workload->piece_list[row->first_piece + 2].tokens, 1100 - 1024);
	ck_assert_uint_eq(workload->dropped[DROP_SYNTAX], 2);
	ck_assert_uint_eq(workload->dropped[DROP_BAD_TOKENS], 1);
	check_counts(workload);
	workload_free(&workload);
	bytes_fini(&text);
}
END_TEST

START_TEST(leaves_real_times_alone)
{
	struct workload *workload = read_text("{\"timestamp\": 10, \"input_length\": 1, \"output_length\": 5}\n"
	                                      "{\"timestamp\": 25, \"input_length\": 1, \"output_length\": 5}\n"
	                                      "{\"timestamp\": 25, \"input_length\": 1, \"output_length\": 5}\n",
	                                      NULL);
	ck_assert_int_eq(workload->rows[2].at_ns, 25 * NS_PER_MS);
	workload_free(&workload);
}
END_TEST

START_TEST(reads_ragpulse)
{
	struct workload *workload = read_text("{\"timestamp_s\":66,\"session\":2,\"input_length\":100,\"output_length\":5,"
	                                      "\"sys_prompt\":[1],\"passages\":[7,8],\"history\":[],"
	                                      "\"user_input\":[9]}\n"
	                                      "{\"timestamp_s\":0,\"session\":0,\"input_length\":50,\"output_length\":5,"
	                                      "\"sys_prompt\":[1],\"passages\":[],\"history\":[7]}\n",
	                                      NULL);
	ck_assert_str_eq(workload->format, "ragpulse");
	ck_assert_uint_eq(workload->count, 2);
	ck_assert(workload->was_unsorted);
	const struct workload_row *row = &workload->rows[1];
	ck_assert_uint_eq(row->passages, 2);
	ck_assert_uint_eq(row->pieces, 4);
	ck_assert_uint_eq(workload->piece_list[row->first_piece].tokens, 25); /* no table of lengths: evenly */
	/* The system prompt is the same in both; passage 7 and history 7 are not. */
	const struct workload_row *first = &workload->rows[0];
	ck_assert(workload->piece_list[first->first_piece].id == workload->piece_list[row->first_piece].id);
	ck_assert(workload->piece_list[first->first_piece + 1].id != workload->piece_list[row->first_piece + 1].id);
	ck_assert_uint_eq(first->passages, 0);
	workload_free(&workload);
}
END_TEST

START_TEST(reads_our_own_log)
{
	struct workload *workload =
		read_text("{\"time\":\"2026-11-25T13:50:40.000Z\",\"level\":\"info\",\"what\":\"loading\"}\n"
	              "{\"time\":\"2026-11-25T13:50:41.000Z\",\"request\":\"a\",\"total_ms\":9,\"outcome\":\"ok\","
	              "\"status\":200,\"route\":\"r\","
	              "\"tenant\":\"shop\",\"class\":\"batch\",\"prompt_tokens\":12,\"output_tokens\":3}\n"
	              "{\"time\":\"2026-11-25T13:50:42.500Z\",\"request\":\"b\",\"total_ms\":1,\"outcome\":\"refused\","
	              "\"status\":429,\"route\":\"r\"}\n"
	              "{\"time\":\"2026-11-25T13:50:43.000Z\",\"request\":\"c\",\"total_ms\":1,\"outcome\":\"bad\","
	              "\"status\":400,\"route\":\"r\"}\n"
	              "{\"time\":\"2026-11-25T13:50:44.000Z\",\"request\":\"d\",\"total_ms\":1,\"status\":200}\n",
	              NULL);
	ck_assert_str_eq(workload->format, "penstock");
	ck_assert_uint_eq(workload->count, 2);
	ck_assert_str_eq(workload->labels[workload->rows[0].tenant], "shop");
	ck_assert_str_eq(workload->labels[workload->rows[0].class], "batch");
	ck_assert_uint_eq(workload->rows[1].prompt_tokens, 12); /* unknown: another one's */
	ck_assert_int_eq(workload->rows[1].at_ns - workload->rows[0].at_ns, 1500 * NS_PER_MS);
	ck_assert_uint_eq(workload->dropped[DROP_OWN_FAULT], 1);
	ck_assert_uint_eq(workload->dropped[DROP_NOT_REQUEST], 1);
	ck_assert_uint_eq(workload->dropped[DROP_NOT_CHAT], 1);
	check_counts(workload);
	workload_free(&workload);
}
END_TEST

START_TEST(draws_servegen)
{
	char lengths[] = "/tmp/penstock-lengths-XXXXXX";
	int fd = mkstemp(lengths);
	FILE *file = fdopen(fd, "w");
	fputs("client,window_start_s,field,mean,p1,p5,p10,p25,p50,p75,p90,p95,p99,p99.9\n"
	      "1,0,input_tokens,100,10,20,30,50,100,150,180,190,200,210\n"
	      "1,0,output_tokens,10,1,2,3,5,10,15,18,19,20,21\n",
	      file);
	fclose(file);
	const struct reader_settings settings = {
		.companion = lengths, .seed = 3, .from_ns = 0, .to_ns = 1200 * NS_PER_S, .scale = 1
	};
	struct workload *workload = read_text("client,window_start_s,rate_rps,iat_cv,iat_dist,shape,scale\n"
	                                      "1,0,2,1,Gamma,1.0,1\n"
	                                      "1,600,4,1,Weibull,1.0,1\n"
	                                      "2,0,1,1,,,\n"
	                                      "2,6000,100,1,,,\n",
	                                      &settings);
	ck_assert_str_eq(workload->format, "servegen");
	size_t first = 0;
	for (size_t i = 0; i < workload->count; i++) {
		first += workload->rows[i].at_ns < 600 * NS_PER_S;
		ck_assert_uint_ge(workload->rows[i].prompt_tokens, 10);
		ck_assert_uint_le(workload->rows[i].prompt_tokens, 200);
		ck_assert_int_lt(workload->rows[i].at_ns, 1200 * NS_PER_S); /* the window at 6000 s is outside */
	}
	ck_assert_uint_ge(first, 1800 - 200);
	ck_assert_uint_le(first, 1800 + 200);
	ck_assert_uint_ge(workload->count - first, 2400 - 250);
	ck_assert_uint_le(workload->count - first, 2400 + 250);
	ck_assert_uint_eq(workload->label_count, 3);
	check_counts(workload);
	workload_free(&workload);
	unlink(lengths);
}
END_TEST

START_TEST(reads_gzip)
{
	char path[] = "/tmp/penstock-trace-XXXXXX";
	close(mkstemp(path));
	gzFile file = gzopen(path, "wb");
	gzputs(file, "TIMESTAMP,ContextTokens,GeneratedTokens\n");
	for (int i = 0; i < 5000; i++)
		gzprintf(file, "2023-11-16 18:%02d:%02d.0,%d,10\n", i / 60 % 60, i % 60, i + 1);
	gzclose(file);
	const struct reader_settings settings = { .path = path, .to_ns = NS_NEVER, .scale = 1 };
	struct workload *workload = NULL;
	struct bytes fault = { 0 };
	ck_error_is(workload_new(&workload), OK);
	ck_error_is(readers_load(&settings, workload, &fault), OK);
	ck_assert_uint_eq(workload->count, 5000);
	workload_free(&workload);
	/* Cut in its middle it isn't taken for a shorter trace. */
	ck_assert_int_eq(truncate(path, 6000), 0);
	ck_error_is(workload_new(&workload), OK);
	ck_assert(readers_load(&settings, workload, &fault) != OK);
	ck_assert(fault.len > 0);
	workload_free(&workload);
	bytes_fini(&fault);
	unlink(path);
}
END_TEST

START_TEST(says_what_it_can_not_read)
{
	struct lines *lines = NULL;
	struct workload *workload = NULL;
	struct bytes fault = { 0 };
	const struct reader_settings any = { .to_ns = NS_NEVER, .scale = 1 };
	const struct reader_settings azure = { .format = "azure", .to_ns = NS_NEVER, .scale = 1 };
	ck_error_is(workload_new(&workload), OK);
	ck_error_is(lines_open_text(SPAN("a,b\n1,2\n"), &lines), OK);
	ck_error_is(readers_read(lines, &any, workload, &fault), ERROR_SYNTAX);
	ck_assert_ptr_nonnull(strstr(bytes_text(&fault), "--format"));
	bytes_clear(&fault);
	ck_error_is(lines_rewind(lines), OK);
	ck_error_is(readers_read(lines, &azure, workload, &fault), ERROR_SYNTAX);
	ck_assert_ptr_nonnull(strstr(bytes_text(&fault), "ContextTokens"));
	lines_close(&lines);
	workload_free(&workload);
	bytes_fini(&fault);
}
END_TEST

UNIT_MAIN("replay/readers", reads_azure, reads_burstgpt_in_any_order, spreads_mooncakes_grid, leaves_real_times_alone,
          reads_ragpulse, reads_our_own_log, draws_servegen, reads_gzip, says_what_it_can_not_read)
