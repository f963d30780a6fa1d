/// A mistake that stands around the real decisions and the real machine, so that a test sees whether the checks notice. Each is what
/// the product would do without one of its rules.
enum SimFlaw {
    /// A replica acknowledges a change before the log has it.
    case acknowledgesBeforeAppend
    /// An event that may be stored is sent again.
    case repeatsEvents
    /// Retries take no share of the requests.
    case ignoresBudget
    /// A request whose time is over ends 100 ms later.
    case forgetsDeadlines
    /// A replica that was left out stays out.
    case takesNobodyBack
    /// A reply that comes after its request has ended is handed over.
    case deliversLateReplies
    /// Heavy reads are sent as if they were like any other.
    case heavyTravelsWithOthers
    /// A shard whose replicas are all left out is not asked, unless more than half of all replicas are.
    case panicCountsAllShards
}
