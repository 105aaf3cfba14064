/** What every network checks of an answer before it gives it to whoever asked (`rpc.ts`, 1). */
import { HoldfastError } from '@holdfast/core';
import type { Answer, AnswerTo, InvalidAnswer, Question } from '../messages.ts';

export function expectAnswer<Asked extends Question>(
  question: Asked,
  answer: Answer | InvalidAnswer,
): AnswerTo<Asked> {
  if (answer.type !== question.type) {
    throw new HoldfastError(
      'PEER_MESSAGE_INVALID',
      `a peer answered something else asked=${question.type} got=${answer.type}`,
    );
  }
  return answer as AnswerTo<Asked>;
}
