import AnnexCore
import AnnexRouter

/// Shards of equal size, replicas numbered from 0 on: the first ones are shard 0's.
func smallTopology(shards: Int, replicas: Int, epoch: Int = 1) -> ClusterTopology {
    ClusterTopology(
        epoch: epoch,
        shards: (0..<shards).map { shard in
            let size = Slot.count / shards
            let end = shard == shards - 1 ? Slot.count : (shard + 1) * size
            return ClusterTopology.Shard(
                name: "\(shard)",
                slots: SlotSet([(shard * size)...(end - 1)]),
                replicas: (0..<replicas).map { .init(host: "10.0.\(shard).\($0)", port: 7_600) }
            )
        }
    )
}

/// A router whose replicas are all healthy, and its clock in milliseconds.
final class TestRouter {
    var decisions: RouterDecisions
    var now: UInt64 = 1_000_000_000
    /// Actions other than PINGs, which are answered unless the replica is among the silent.
    var actions: [Action] = []
    var silent: Set<Int> = []

    init(_ settings: RouterSettings = RouterSettings(), shards: Int = 2, replicas: Int = 2) {
        self.decisions = RouterDecisions(
            settings,
            topology: smallTopology(shards: shards, replicas: replicas),
            seed: 1,
            now: 1_000_000_000
        )
        self.pass(600)
        self.actions = []
    }

    /// Lets time pass, 1 ms at a time.
    func pass(_ milliseconds: Int) {
        for _ in 0..<milliseconds {
            self.now += 1_000_000
            self.decisions.tick(now: self.now)
            self.take()
        }
    }

    func take() {
        while let action = self.decisions.nextAction() {
            guard case .ping(let replica, _) = action else {
                self.actions.append(action)
                continue
            }
            if !self.silent.contains(replica) { self.decisions.pong(replica, now: self.now) }
        }
    }

    func begin(_ kind: RequestKind = .read, slot: Int? = 0, prefer: Int? = nil) -> Decision {
        self.decisions.begin(kind, slot: slot, prefer: prefer, now: self.now)
    }

    func send(_ kind: RequestKind = .read, slot: Int? = 0) throws -> Dispatch {
        guard case .send(let dispatch) = self.begin(kind, slot: slot) else { throw NotSent() }
        return dispatch
    }

    /// What the first action sends.
    var firstSent: Dispatch {
        get throws {
            guard case .send(let dispatch) = self.actions.first else { throw NotSent() }
            return dispatch
        }
    }

    /// What the actions send, in their order.
    func sent(_ number: Int) throws -> Dispatch {
        let sent = self.actions.compactMap { if case .send(let dispatch) = $0 { dispatch } else { nil } }
        guard number < sent.count else { throw NotSent() }
        return sent[number]
    }

    /// What the actions end without a reply.
    var failed: [RequestID] { self.actions.compactMap { if case .fail(let id, _) = $0 { id } else { nil } } }

    func settle(_ dispatch: Dispatch, _ outcome: Outcome, redirect: Int? = nil) -> Verdict {
        self.decisions.settle(dispatch.attempt, outcome, redirect: redirect, now: self.now)
    }

    func isPending(_ request: RequestID) -> Bool { self.decisions.isPending(request) }
    func owed(by replica: Int) -> Int { self.decisions.owed(by: replica) }
    func replicas(of shard: Int) -> [Int] { self.decisions.replicas(of: shard) }
    func replica(at address: ClusterTopology.Address) -> Int? { self.decisions.replica(at: address) }
    func state(_ replica: Int) -> ReplicaHealth.State { self.decisions.health(of: replica).state }
}

/// Something was to be sent and was not.
struct NotSent: Error {}

extension Verdict {
    var resent: Dispatch {
        get throws {
            guard case .resend(let dispatch) = self else { throw NotSent() }
            return dispatch
        }
    }
}
