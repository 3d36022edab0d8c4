/* Workloads that are drawn instead of read: "rate=5,duration=60s,prompt=500,output=100,arrivals=gamma,cv=2,shape=flash,factor=4,at=20s,for=10s". */
#ifndef PENSTOCK_REPLAY_SYNTHETIC_H
#define PENSTOCK_REPLAY_SYNTHETIC_H

#include "base/bytes.h"
#include "base/error.h"
#include "replay/workload.h"

/* spec: what follows "synthetic:". ERROR_SYNTAX with a sentence in *fault; ERROR_LIMIT for too many requests. */
enum error synthetic_make(struct span spec, uint64_t seed, struct workload *workload, struct bytes *fault);

#endif
