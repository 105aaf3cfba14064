/** Ways in which a peer can break the contract, each around an honest server. */
import {
  type Answer,
  type Coordinate,
  compareDistances,
  createKeyPair,
  createValue,
  type GetAnswer,
  type InvalidAnswer,
  LAST_SEQUENCE,
  peerCoordinate,
  type PeerId,
  type PeerInfo,
  type Question,
  recordCoordinate,
  sequence,
  type SetQuestion,
  type SignedValue,
} from '../../src/index.ts';
import type { SeededRandom } from '@holdfast/testkit';
import { simPeer } from '../../src/index.ts';
import type { Behaviour } from './record-peer.ts';

type Reply = Answer | InvalidAnswer;
type Lie = (
  asked: { readonly from: PeerId; readonly question: Question },
  honest: () => Promise<Reply>,
  self: PeerId,
) => Promise<Reply>;

/** @param make one liar's memory. */
function liar(make: () => Lie): Behaviour {
  return (honest, { id }) => {
    const lie = make();
    return {
      answer: (from, question) => lie({ from, question }, () => honest.answer(from, question), id),
      hear: (from, statement) => honest.hear(from, statement),
    };
  };
}

const INVENTED = Array.from({ length: 2_000 }, (_, i) => `invented-${i}` as PeerId).map((id) => ({
  id,
  coordinate: peerCoordinate(id),
}));

export function lies(random: SeededRandom): Readonly<Record<string, Behaviour>> {
  return {
    numbers: liar(() => numbers),
    forged: liar(() => forged(random)),
    foreign: liar(foreign),
    farPeers: liar(() => farPeers),
    invented: liar(() => invented),
    old: liar(old),
    hollow: liar(() => hollow),
    huge: liar(() => huge(random)),
    decliner: liar(() => decliner),
    loser: liar(loser),
    equivocator: liar(equivocator),
  };
}

/** Numbers that nobody wrote. */
const numbers: Lie = async ({ question }, honest) => {
  const answer = await honest();
  if (answer.type === 'inspect' && answer.status === 'held' && answer.sequences !== undefined) {
    return { ...answer, sequences: answer.sequences.map(() => LAST_SEQUENCE) };
  }
  if (answer.type !== 'set' || answer.status === 'far') return answer;
  const { peers } = answer;
  const floor = question.type === 'set' ? LAST_SEQUENCE : sequence(0);
  return { type: 'set', status: 'outdated', floor, peers };
};

/** Values that their writer did not sign. */
function forged(random: SeededRandom): Lie {
  const keys = createKeyPair(random);
  return async ({ question }, honest) => {
    const answer = await honest();
    const value = valueOf(answer);
    if (value === undefined || (question.type !== 'get' && question.type !== 'set')) return answer;
    const { record, subkey } = question;
    const about = { record, subkey, sequence: LAST_SEQUENCE, writer: keys };
    const other = createValue(about, Buffer.alloc(32), Buffer.from('forged'), random);
    const broken = { ...value, signature: Buffer.from(value.signature).fill(1, 8, 16) };
    return { ...answer, value: random.chance(0.5) ? other : broken } as Reply;
  };
}

/** Values that were signed, of another place. */
function foreign(): Lie {
  const seen: SetQuestion[] = [];
  return async ({ question }, honest) => {
    if (question.type === 'set' && seen.length < 50) seen.push(question);
    const answer = await honest();
    if (question.type !== 'get' || valueOf(answer) === undefined) return answer;
    const other = seen.find(
      ({ record, subkey }) => record !== question.record || subkey !== question.subkey,
    );
    if (other === undefined) return answer;
    const wrong = { ...answer, value: other.value };
    return (other.descriptor === undefined
      ? wrong
      : { ...wrong, descriptor: other.descriptor }) as unknown as Reply;
  };
}

/** Peers that are not nearer. */
const farPeers: Lie = async ({ question }, honest, self) => {
  const target = targetOf(question);
  const answer = await honest();
  if (target === undefined || !('peers' in answer)) return answer;
  return { ...answer, peers: inventedPeers(target, self, false) };
};

/** Peers that would be nearer, if there were any. */
const invented: Lie = async ({ question }, honest, self) => {
  const target = targetOf(question);
  const answer = await honest();
  if (target === undefined || !('peers' in answer)) return answer;
  return { ...answer, peers: inventedPeers(target, self, true) };
};

/** Says that it keeps everything, and keeps and gives what came first. */
function old(): Lie {
  const first = new Map<string, SignedValue>();
  return async ({ question }, honest) => {
    if (question.type !== 'set' && question.type !== 'get') return honest();
    const place = `${question.record} ${question.subkey}`;
    const known = first.get(place);
    if (question.type === 'set') {
      if (known === undefined) first.set(place, question.value);
      const answer = known === undefined ? await honest() : undefined;
      return answer ?? { type: 'set', status: 'stored', peers: [] };
    }
    const answer = await honest();
    if (known === undefined || valueOf(answer) === undefined) return answer;
    return { ...(answer as GetAnswer), value: known } as GetAnswer;
  };
}

/** Says that it keeps everything, and keeps nothing. */
const hollow: Lie = ({ question }, honest) => {
  if (question.type === 'set') {
    return Promise.resolve({ type: 'set', status: 'stored', peers: [] });
  }
  if (question.type !== 'get') return honest();
  const nothing = { value: undefined, descriptor: undefined, peers: [] };
  return Promise.resolve({ type: 'get', status: 'held', ...nothing });
};

/** As much as a message takes. */
function huge(random: SeededRandom): Lie {
  const keys = createKeyPair(random);
  const blob = Buffer.alloc(200 * 1024, 7);
  return async ({ question }, honest) => {
    const answer = await honest();
    if (question.type !== 'get' || !('status' in answer) || answer.status !== 'held') return answer;
    const { record, subkey } = question;
    const about = { record, subkey, sequence: LAST_SEQUENCE, writer: keys };
    const value = createValue(about, Buffer.alloc(32), blob, random);
    return { ...answer, value } as Reply;
  };
}

/** Always says that others are nearer, who do not exist. */
const decliner: Lie = async ({ question }, honest, self) => {
  const { type } = question;
  const target = targetOf(question);
  if (target === undefined || type === 'find' || type === 'command') return honest();
  return { type, status: 'far', peers: inventedPeers(target, self, true) } as Answer;
};

/** Prefers what came first to everything that wins over it. */
function loser(): Lie {
  const first = new Map<string, SignedValue>();
  return async ({ question }, honest) => {
    const answer = await honest();
    if (question.type !== 'set') return answer;
    const place = `${question.record} ${question.subkey}`;
    const value = first.get(place) ?? question.value;
    first.set(place, value);
    return { type: 'set', status: 'superseded', value, peers: [] };
  };
}

/** Shows every second asker something else. */
function equivocator(): Lie {
  const lie = old();
  let asked = 0;
  return (about, honest, self) => (asked++ % 2 === 0 ? lie(about, honest, self) : honest());
}

function targetOf(question: Question) {
  if (question.type === 'find') return question.target;
  return 'record' in question ? recordCoordinate(question.record) : undefined;
}

function valueOf(answer: Reply): SignedValue | undefined {
  return 'value' in answer ? answer.value : undefined;
}

function inventedPeers(target: Coordinate, self: PeerId, nearer: boolean): PeerInfo[] {
  const own = peerCoordinate(self);
  return INVENTED.filter(
    ({ coordinate }) => compareDistances(target, coordinate, own) < 0 === nearer,
  )
    .slice(0, 20)
    .map(({ id }) => simPeer(id));
}
