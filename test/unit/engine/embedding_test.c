/* Answers of embeddings requests: the texts that stand in for vectors. */
#include "engine/embedding.h"

#include "unit.h"

#include "base/macros.h"

START_TEST(base64_is_of_the_lowest_byte_first)
{
	static const float vector[] = { 1.0F, -2.5F, 0.0F, 3.1415927F };
	/* As Python's base64 and struct give them. */
	static const char *const texts[] = { "", "AACAPw==", "AACAPwAAIMA=", "AACAPwAAIMAAAAAA",
		                                 "AACAPwAAIMAAAAAA2w9JQA==" };
	for (uint32_t count = 0; count < COUNT_OF(texts); count++) {
		struct bytes out = { 0 };
		embedding_write_base64(&out, vector, count);
		ck_assert_str_eq(bytes_text(&out), texts[count]);
		bytes_fini(&out);
	}
}
END_TEST

static struct embedding *two_inputs(bool wants_base64)
{
	struct embedding *embedding;
	struct bytes body = { 0 };
	ck_error_is(embedding_new(&body, &embedding), OK);
	embedding->request.wants_base64 = wants_base64;
	embedding->dimensions = 2;
	embedding->prompt_tokens = 9;
	embedding->vectors = calloc(4, sizeof(float));
	embedding->job.inputs = calloc(2, sizeof(struct embedding_input));
	embedding->job.input_count = 2;
	ck_assert(embedding->vectors && embedding->job.inputs);
	for (int i = 0; i < 2; i++)
		embedding->job.inputs[i].vector = embedding->vectors + 2 * i;
	embedding->vectors[0] = 0.6F;
	embedding->vectors[1] = -0.8F;
	embedding->vectors[2] = 1.0F;
	return embedding;
}

START_TEST(answers_have_openais_shape)
{
	struct embedding *embedding = two_inputs(false);
	embedding_write(embedding, "m");
	ck_assert_str_eq(bytes_text(&embedding->answer),
	                 "{\"object\":\"list\",\"data\":["
	                 "{\"object\":\"embedding\",\"index\":0,\"embedding\":[0.600000024,-0.800000012]},"
	                 "{\"object\":\"embedding\",\"index\":1,\"embedding\":[1,0]}],"
	                 "\"model\":\"m\",\"usage\":{\"prompt_tokens\":9,\"total_tokens\":9}}");
	embedding_free(&embedding);
	ck_assert_ptr_null(embedding);
	embedding = two_inputs(true);
	embedding_write(embedding, "m");
	ck_assert_ptr_nonnull(strstr(bytes_text(&embedding->answer), "\"embedding\":\"AACAPwAAAAA=\"}"));
	embedding_free(&embedding);
	embedding_free(&embedding);
}
END_TEST

UNIT_MAIN("engine/embedding", base64_is_of_the_lowest_byte_first, answers_have_openais_shape)
