/**
 * Errors under `__ds`: the problem of every other route with the protocol's `error` member in it
 * (PROTOCOL 7), as `application/json`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HoldfastError } from '@holdfast/core';
import type { ProtocolContext } from '../exchange.ts';
import { sendProblem } from '../problem.ts';

export function sendControlProblem(
  context: ProtocolContext,
  request: IncomingMessage,
  response: ServerResponse,
  thrown: unknown,
  methods: string,
): void {
  sendProblem(context, request, response, thrown, undefined, {
    methods,
    members: errorMember,
  });
}

/** `details` are the ones of `SubscriptionStore`, contract 7. */
function errorMember(error: HoldfastError, message: string): Record<string, unknown> {
  const { currentHolder, generation } = error.details;
  return {
    error: {
      code: error.code,
      message,
      ...(currentHolder === undefined ? {} : { current_holder: currentHolder }),
      ...(generation === undefined ? {} : { generation }),
    },
  };
}
