/* A stand-in for NVIDIA's libnvidia-ml.so.1, for tests on machines without a GPU. It is no driver and measures
 * nothing: every figure is made up from the index of the GPU. It has the functions that the agent uses, with the
 * types of NVIDIA's nvml.h. Built by the tests with `cc -shared -fPIC`, with these macros:
 *
 *   GPUS=N               number of GPUs
 *   MIG_GPU=N            this GPU is shared out: it has the parts 0 and 2, and an empty place between them
 *   MIG_MODE_DENIED      asking whether it is shared out is not allowed
 *   LOST_GPU=N           this GPU has fallen off the bus
 *   DRIVER_NOT_LOADED    nothing works
 *   CUDA_VERSION=N       version of CUDA, 12040 unless given
 *   LOAD=N               load of every GPU in percent; 30 and the index unless given
 *   PROCESSES={G,P},...  process P computes on GPU G
 *   USE_FILE="PATH"      a file that is read at each question; a line `G L P` says that GPU G has load L, and that
 *                        process P computes on it, or none where P is 0
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifndef GPUS
#define GPUS 1
#endif
#ifndef MIG_GPU
#define MIG_GPU -1
#endif
#ifndef LOST_GPU
#define LOST_GPU -1
#endif
#ifndef CUDA_VERSION
#define CUDA_VERSION 12040
#endif

#ifndef PROCESSES
#define PROCESSES { -1, 0 }
#endif
#ifndef USE_FILE
#define USE_FILE ""
#endif

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED_CODE = 9, GPU_IS_LOST = 15 };
enum { MEBIBYTE = 1024 * 1024, PARTS = 3 };

typedef int result;
typedef struct { int gpu; int part; } *device;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2;
typedef struct { unsigned gpu, memory; } utilization;
typedef struct { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; } process;

static struct { int gpu; int part; } devices[GPUS][PARTS + 1];

result nvmlInit_v2(void) {
#ifdef DRIVER_NOT_LOADED
    return DRIVER_NOT_LOADED_CODE;
#else
    for (int gpu = 0; gpu < GPUS; gpu++)
        for (int part = -1; part < PARTS; part++) {
            devices[gpu][part + 1].gpu = gpu;
            devices[gpu][part + 1].part = part;
        }
    return SUCCESS;
#endif
}

result nvmlShutdown(void) { return SUCCESS; }

result nvmlSystemGetDriverVersion(char *text, unsigned length) {
    snprintf(text, length, "550.54.15");
    return SUCCESS;
}

result nvmlSystemGetCudaDriverVersion_v2(int *version) {
    *version = CUDA_VERSION;
    return SUCCESS;
}

result nvmlDeviceGetCount_v2(unsigned *count) {
    *count = GPUS;
    return SUCCESS;
}

result nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    if (index >= GPUS)
        return INVALID_ARGUMENT;
    if ((int)index == LOST_GPU)
        return GPU_IS_LOST;
    *handle = &devices[index][0];
    return SUCCESS;
}

result nvmlDeviceGetUUID(device device, char *text, unsigned length) {
    if (device->part < 0)
        snprintf(text, length, "GPU-%08d-stand-in", device->gpu);
    else
        snprintf(text, length, "MIG-%08d-%d-stand-in", device->gpu, device->part);
    return SUCCESS;
}

result nvmlDeviceGetName(device device, char *text, unsigned length) {
    snprintf(text, length, "Stand-in %d", device->gpu);
    return SUCCESS;
}

result nvmlDeviceGetTemperature(device device, int sensor, unsigned *celsius) {
    if (device->part >= 0 || sensor != 0)
        return NOT_SUPPORTED;
    *celsius = 40 + device->gpu;
    return SUCCESS;
}

result nvmlDeviceGetUtilizationRates(device device, utilization *rates) {
    if (device->part >= 0)
        return NOT_SUPPORTED;
#ifdef LOAD
    rates->gpu = LOAD;
#else
    rates->gpu = 30 + device->gpu;
#endif
    int gpu, load, pid;
    FILE *file = fopen(USE_FILE, "r");
    while (file && fscanf(file, "%d %d %d", &gpu, &load, &pid) == 3)
        if (gpu == device->gpu)
            rates->gpu = load;
    if (file)
        fclose(file);
    rates->memory = 1;
    return SUCCESS;
}

/* Asked without room for an answer, it says how many there are. Parts have none. */
result nvmlDeviceGetComputeRunningProcesses_v3(device device, unsigned *count, process *processes) {
    static const struct { int gpu, pid; } fixed[] = { PROCESSES };
    unsigned room = *count, found = 0;
    int gpu, load, pid;
    FILE *file = fopen(USE_FILE, "r");
    *count = 0;
    if (device->part < 0) {
        for (unsigned index = 0; index < sizeof fixed / sizeof *fixed; index++)
            if (fixed[index].gpu == device->gpu && found++ < room && processes)
                processes[found - 1] = (process){ .pid = fixed[index].pid };
        while (file && fscanf(file, "%d %d %d", &gpu, &load, &pid) == 3)
            if (gpu == device->gpu && pid && found++ < room && processes)
                processes[found - 1] = (process){ .pid = pid };
    }
    if (file)
        fclose(file);
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : SUCCESS;
}

/* Whole: 16000 MiB, of which 1000 each index are used, the driver's part included. Part: 5000 MiB. */
result nvmlDeviceGetMemoryInfo_v2(device device, memory_v2 *memory) {
    unsigned long long total = device->part < 0 ? 16000 : 5000;
    unsigned long long used = device->part < 0 ? 1000 + 1000 * device->gpu : 300 + device->part;
    if (memory->version != (sizeof(memory_v2) | 2 << 24))
        return INVALID_ARGUMENT;
    memory->total = total * MEBIBYTE;
    memory->reserved = 100ull * MEBIBYTE;
    memory->used = (used - 100) * MEBIBYTE;
    memory->free = (total - used) * MEBIBYTE;
    return SUCCESS;
}

result nvmlDeviceGetMigMode(device device, unsigned *current, unsigned *pending) {
    if (device->gpu != MIG_GPU)
        return NOT_SUPPORTED;
#ifdef MIG_MODE_DENIED
    return NO_PERMISSION;
#endif
    *current = *pending = 1;
    return SUCCESS;
}

result nvmlDeviceGetMaxMigDeviceCount(device device, unsigned *count) {
    *count = device->gpu == MIG_GPU ? PARTS : 0;
    return SUCCESS;
}

result nvmlDeviceGetMigDeviceHandleByIndex(device device, unsigned index, void **handle) {
    if (device->gpu != MIG_GPU || index >= PARTS || index == 1)
        return NOT_FOUND;
    *handle = &devices[device->gpu][index + 1];
    return SUCCESS;
}
