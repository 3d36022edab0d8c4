/* Who asks: a bearer key against the hashes in the config, before the body is taken. Without keys (loopback only, the config's check sees to it)
 * everybody may. */
#include "stages/keys.h"
#include "stages/respond.h"
#include "stages/services.h"

enum verdict stage_authenticate(struct request *request)
{
	if (request->config->key_count == 0)
		return NEXT;
	request->key = keys_find(request->config, request->services->digest, http_exchange_head(request->exchange));
	return request->key ? NEXT : respond_outcome(request, OUTCOME_unauthenticated);
}
