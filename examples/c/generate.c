/* Text in, text out from C: the SavedModel of a bundle, TensorFlow's C library, and no Python.
 *
 *     TF=$(python -c "import tensorflow as tf; print(tf.sysconfig.get_lib())")
 *     cc -O2 -I"$TF/include" examples/c/generate.c -o generate \
 *        "$TF/libtensorflow_cc.so.2" "$TF/libtensorflow_framework.so.2" -Wl,-rpath,"$TF"
 *     ./generate BUNDLE/saved_model/1 "Once upon a time"
 *
 * Expect the continuation, and 1 with a line on standard error where something is wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

static void stop(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* Find a tensor of serving_default in assets.extra/tensors.txt: signature, kind, name, type, operation, index. */
static TF_Output tensor(TF_Graph *graph, const char *folder, const char *kind, const char *name) {
    char path[4096], signature[256], is[16], called[256], type[32], operation[512];
    int index;
    snprintf(path, sizeof path, "%s/assets.extra/tensors.txt", folder);
    FILE *file = fopen(path, "r");
    if (!file) stop(path, "cannot be read; export the bundle again");
    while (fscanf(file, "%255s %15s %255s %31s %511s %d", signature, is, called, type, operation, &index) == 6)
        if (!strcmp(signature, "serving_default") && !strcmp(is, kind) && !strcmp(called, name)) {
            fclose(file);
            TF_Output found = {TF_GraphOperationByName(graph, operation), index};
            if (!found.oper) stop(operation, "is not in the graph");
            return found;
        }
    stop(path, "has no such tensor of serving_default");
    exit(1);
}

int main(int count, char **words) {
    if (count != 3) stop(words[0], "give the folder of a SavedModel and a text");
    TF_Status *status = TF_NewStatus();
    TF_Graph *graph = TF_NewGraph();
    TF_SessionOptions *options = TF_NewSessionOptions();
    const char *tags[] = {"serve"};
    TF_Session *session = TF_LoadSessionFromSavedModel(options, NULL, words[1], tags, 1, graph, NULL, status);
    if (TF_GetCode(status) != TF_OK) stop(words[1], TF_Message(status));

    const int64_t one_row[] = {1};
    TF_Tensor *prompts = TF_AllocateTensor(TF_STRING, one_row, 1, sizeof(TF_TString)), *text = NULL;
    TF_TString *prompt = TF_TensorData(prompts);
    TF_TString_Init(prompt);
    TF_TString_Copy(prompt, words[2], strlen(words[2]));

    TF_Output input = tensor(graph, words[1], "input", "prompts");
    TF_Output output = tensor(graph, words[1], "output", "text");
    TF_SessionRun(session, NULL, &input, &prompts, 1, &output, &text, 1, NULL, 0, NULL, status);
    if (TF_GetCode(status) != TF_OK) stop("serving_default", TF_Message(status));
    TF_TString *written = TF_TensorData(text);
    fwrite(TF_TString_GetDataPointer(written), 1, TF_TString_GetSize(written), stdout);
    putchar('\n');

    TF_TString_Dealloc(prompt);
    TF_DeleteTensor(prompts);
    TF_DeleteTensor(text);
    TF_DeleteSession(session, status);
    TF_DeleteSessionOptions(options);
    TF_DeleteGraph(graph);
    TF_DeleteStatus(status);
    return 0;
}
