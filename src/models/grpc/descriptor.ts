import type { fromJSON } from '@grpc/proto-loader'

/**
 * What is needed here of the KServe v2 (Open Inference) service, as a protobuf descriptor. The names and numbers are the
 * protocol's; parameters are left out, since none are sent.
 */
export const KSERVE: Parameters<typeof fromJSON>[0] = {
  nested: {
    inference: {
      nested: {
        GRPCInferenceService: {
          methods: {
            ServerReady: {
              requestType: 'ServerReadyRequest',
              responseType: 'ServerReadyResponse',
              comment: '',
            },
            ModelReady: { requestType: 'ModelReadyRequest', responseType: 'ModelReadyResponse', comment: '' },
            ModelMetadata: {
              requestType: 'ModelMetadataRequest',
              responseType: 'ModelMetadataResponse',
              comment: '',
            },
            ModelInfer: { requestType: 'ModelInferRequest', responseType: 'ModelInferResponse', comment: '' },
          },
        },
        ServerReadyRequest: { fields: {} },
        ServerReadyResponse: { fields: { ready: { type: 'bool', id: 1 } } },
        ModelReadyRequest: {
          fields: { name: { type: 'string', id: 1 }, version: { type: 'string', id: 2 } },
        },
        ModelReadyResponse: { fields: { ready: { type: 'bool', id: 1 } } },
        ModelMetadataRequest: {
          fields: { name: { type: 'string', id: 1 }, version: { type: 'string', id: 2 } },
        },
        TensorMetadata: {
          fields: {
            name: { type: 'string', id: 1 },
            datatype: { type: 'string', id: 2 },
            shape: { rule: 'repeated', type: 'int64', id: 3 },
          },
        },
        ModelMetadataResponse: {
          fields: {
            name: { type: 'string', id: 1 },
            versions: { rule: 'repeated', type: 'string', id: 2 },
            platform: { type: 'string', id: 3 },
            inputs: { rule: 'repeated', type: 'TensorMetadata', id: 4 },
            outputs: { rule: 'repeated', type: 'TensorMetadata', id: 5 },
          },
        },
        Tensor: {
          fields: {
            name: { type: 'string', id: 1 },
            datatype: { type: 'string', id: 2 },
            shape: { rule: 'repeated', type: 'int64', id: 3 },
            contents: { type: 'InferTensorContents', id: 5 },
          },
        },
        InferTensorContents: {
          fields: {
            boolContents: { rule: 'repeated', type: 'bool', id: 1 },
            intContents: { rule: 'repeated', type: 'int32', id: 2 },
            int64Contents: { rule: 'repeated', type: 'int64', id: 3 },
            uintContents: { rule: 'repeated', type: 'uint32', id: 4 },
            uint64Contents: { rule: 'repeated', type: 'uint64', id: 5 },
            fp32Contents: { rule: 'repeated', type: 'float', id: 6 },
            fp64Contents: { rule: 'repeated', type: 'double', id: 7 },
            bytesContents: { rule: 'repeated', type: 'bytes', id: 8 },
          },
        },
        ModelInferRequest: {
          fields: {
            modelName: { type: 'string', id: 1 },
            modelVersion: { type: 'string', id: 2 },
            id: { type: 'string', id: 3 },
            inputs: { rule: 'repeated', type: 'Tensor', id: 5 },
            rawInputContents: { rule: 'repeated', type: 'bytes', id: 7 },
          },
        },
        ModelInferResponse: {
          fields: {
            modelName: { type: 'string', id: 1 },
            modelVersion: { type: 'string', id: 2 },
            id: { type: 'string', id: 3 },
            outputs: { rule: 'repeated', type: 'Tensor', id: 5 },
            rawOutputContents: { rule: 'repeated', type: 'bytes', id: 6 },
          },
        },
      },
    },
  },
}
